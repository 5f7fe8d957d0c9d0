"""One thin file per command: parse, call one library function, render. Only here Typer and Rich."""
