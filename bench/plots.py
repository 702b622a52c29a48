"""The curves of growth as pictures: p50 of a request alone, by the size of the tenant."""

from pathlib import Path

UNITS = {"users": "users of the tenant", "members": "users of the tenant", "audit": "events"}


def draw(folder: Path, curves: dict[str, dict[str, dict[int, float]]]) -> None:
    """One picture for each group, named after it."""
    import matplotlib as mpl  # by none of the other parts

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    for group, lines in curves.items():
        figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
        for what, curve in lines.items():
            sizes = sorted(curve)
            axes.plot(sizes, [curve[size] for size in sizes], marker="o", markersize=3, label=what)
        axes.set(xscale="log", yscale="log", xlabel=UNITS[group], ylabel="p50, ms")
        axes.set_title(f"Lists of {group}")
        axes.grid(visible=True, which="both", alpha=0.2)
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
        figure.savefig(folder / f"growth-{group}.png", dpi=110)
        plt.close(figure)
