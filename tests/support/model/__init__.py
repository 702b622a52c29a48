"""The contract restated in Python: one process, plain dictionaries, no code of the product.

`world.answer` is told a request and says what a product that keeps the contract answers, and what
it tells of in its events. What only the product can choose (identifiers, secrets, the time) is
taken from its own answer, after a look at the form.
"""
