"""Pages that are made from other files of the repository: notebooks, commands and the changelog."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:  # noqa: ANN401 - MkDocs' own
    """Add the generated pages, and the scripts of examples/ that pages link to."""
    for notebook in sorted(EXAMPLES.glob("*.ipynb")):
        # Pictures of all notebooks lie in one folder.
        names = {"unique_key": notebook.stem}
        page, resources = MarkdownExporter().from_filename(str(notebook), resources=names)
        contents = {f"{notebook.stem}.md": page, **resources["outputs"]}
        for name, content in contents.items():
            files.append(File.generated(config, name, content=content))
    for script in sorted({*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.sh")}):
        files.append(File.generated(config, script.name, abs_src_path=str(script)))
    changelog = str(ROOT / "CHANGELOG.md")
    files.append(File.generated(config, "changelog.md", abs_src_path=changelog))
    files.append(File.generated(config, "commands.md", content=describe_commands()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401 - MkDocs' own
    """Lead links to examples/ to their pages: in the repository they lead to the files."""
    links = re.sub(r"\]\(\.\./examples/(\w+)\.ipynb\)", r"](\1.md)", markdown)
    return links.replace("](../examples/", "](")


def describe_commands() -> str:
    """Return a page with the help of every command."""
    import typer
    from typer.cli import get_docs_for_click

    from omnimouse_cli.cli.app import program

    command = typer.main.get_command(program())
    context = typer.Context(command)
    page = get_docs_for_click(obj=command, ctx=context, name="omnimouse", title="Commands")
    # Options of every command, and the shortened sentences of the list of commands.
    page = re.sub(r"^\* `--(install-completion|show-completion|help)`.*\n", "", page, flags=re.M)
    return re.sub(r"^(\* `[\w-]+`): .*\.\.\.$", r"\1", page, flags=re.M)
