"""A hook of mkdocs: SECURITY.md, at the root for its readers, is a page of the site too."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page; its links into docs/ lead to its neighbours."""
    page = Path(config.config_file_path).parent / "SECURITY.md"
    text = page.read_text().replace("](docs/", "](")
    files.append(File.generated(config, "security.md", content=text))
    return files
