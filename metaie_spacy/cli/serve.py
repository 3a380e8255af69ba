"""The command that serves over HTTP. Arguments and messages only."""

import logging
import os
import sys

import typer

app = typer.Typer()
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@app.command()
def serve(
    model: list[str] = typer.Option(
        ["en_metaie_sm"],
        help="A spaCy pipeline with a metaie component: package or path, NAME=PATH; several times for several",
    ),
    adapter: list[str] = typer.Option(
        [], help="NAME=FILE, what fewshot --adapter wrote; goes to every model whose weights it belongs to"
    ),
    schema: list[str] = typer.Option(
        [], help="NAME=FILE, a schema that requests may name; without NAME the file gives it; assets/schemas/ has some"
    ),
    host: str = typer.Option("127.0.0.1", help="Address to listen on; 0.0.0.0: all of this machine"),
    port: int = typer.Option(8000, help="Port to listen on; 0: any that is free"),
    api_key_env: str = typer.Option(
        "METAIE_API_KEY",
        help="Environment variable with the key that requests must bring; without it, none is asked for",
    ),
    most_characters: int = typer.Option(200_000, help="Of all texts of a request"),
    most_texts: int = typer.Option(500, help="Of a request"),
    most_labels: int = typer.Option(200, help="Wordings of labels, links and options that a request asks"),
    longest_run: int = typer.Option(20_000, help="Characters of a text in a row without white space"),
    most_waiting: int = typer.Option(1_000, help="Requests that wait; the next ones are answered with 429"),
    most_waiting_characters: int = typer.Option(2_000_000, help="Of all long requests that wait"),
    timeout: float = typer.Option(60.0, help="Seconds in which a request is answered, or given up with 503"),
    delay: float = typer.Option(2.0, help="Milliseconds that a batch waits for more requests"),
    patterns: bool = typer.Option(
        False, "--patterns", help="Take regular expressions of requests; one may run for ever: for trusted clients"
    ),
    gpu: int = typer.Option(-1, help="Number of the GPU to use; -1: the CPU"),
) -> None:
    """Answer requests over HTTP, batched across clients and labels (needs the extra 'serve')."""
    from ..serving.limits import Limits

    limits = Limits(
        characters=most_characters,
        texts=most_texts,
        run=longest_run,
        labels=most_labels,
        waiting=most_waiting,
        waiting_characters=most_waiting_characters,
        seconds=timeout,
    )
    if not 0 <= delay <= 1000:
        raise ValueError(f"--delay must be from 0 to 1000 milliseconds, not {delay:g}.")
    key = os.environ.get(api_key_env)
    if key is not None and not key.strip():
        raise ValueError(f"The environment variable {api_key_env} is empty. Put a key into it, or unset it.")
    from ..serving.models import load_models, load_schemas, named
    from ..serving.server import listen
    from ..serving.server import serve as run
    from ..serving.service import Service

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    schemas = load_schemas(named(schema, "schema"))
    listening = listen(host, port)
    models = load_models(named(model, "model"), named(adapter, "adapter"), gpu=gpu)
    if key is None and host not in LOOPBACK:
        sys.stderr.write(f"Anyone who reaches {host} may ask: no key is set. Put one into {api_key_env}.\n")
    service = Service(models, schemas, limits, None if key is None else key.strip(), patterns, delay / 1000)
    shown, taken = listening.getsockname()[:2]
    address = f"[{shown}]" if ":" in shown else shown
    run(service, listening, lambda: print(f"Listening on http://{address}:{taken}", flush=True))
