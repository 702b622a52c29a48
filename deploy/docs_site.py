"""A hook of mkdocs: makes a page of SECURITY.md, which lies at the root of the repository."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page. Its links into docs/ become links to its neighbours."""
    page = Path(config.config_file_path).parent / "SECURITY.md"
    text = page.read_text().replace("](docs/", "](")
    files.append(File.generated(config, "security.md", content=text))
    return files
