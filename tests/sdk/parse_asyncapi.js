// Parses the AsyncAPI document with the parser of its makers; fails with what it calls an error.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const errors = diagnostics.filter((each) => each.severity === 0);
for (const each of errors) console.error(each.path.join("/"), each.message);
if (document === undefined || errors.length > 0) process.exit(1);
console.log(`${document.operations().all().length} operations`);
