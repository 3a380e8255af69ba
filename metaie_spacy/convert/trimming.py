"""Links between the places that trimmed spans have."""

from ..data.rows import trim


def with_trimmed_links(row: dict) -> dict:
    """The row with links whose places are trimmed as its spans are; those of nothing but white space are gone."""
    if not row.get("links"):
        return row
    text, links = row["text"], []
    for link in row["links"]:
        head, *tails = [list(trim(text, *spot)) for spot in (link["head"], *link["tails"])]
        if head[0] < head[1]:
            links.append({**link, "head": head, "tails": [tail for tail in tails if tail[0] < tail[1]]})
    return {**row, "links": links}
