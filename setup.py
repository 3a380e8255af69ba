from pathlib import Path

from setuptools import find_packages, setup

PROJECT = [
    "accelerate>=1.0",
    "openai>=1.60",
    "tenacity>=8.2",
    "datasketch>=1.6",
    "rapidfuzz>=3.0",
    "filelock>=3.12",
    "jinja2>=3.1",
    "build>=1.0",
]

AUDIT = [
    "krippendorff>=0.6",
    "scipy>=1.11",
    "scikit-learn>=1.4",
    "datasketch>=1.6",
    'tomli>=2.0; python_version < "3.11"',
]
BULK = ["pyarrow>=14.0", "fsspec>=2023.1", "zstandard>=0.22"]
SERVE = ["fastapi>=0.110", "uvicorn>=0.29", "prometheus-client>=0.20"]

POLICIES = "small large random cascade errors knn reliable_knn learned per_label".split()

setup(
    name="metaie-spacy",
    version="0.1.0",
    description="Structured information out of text inside spaCy: ask for any label, get spans",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf8"),
    long_description_content_type="text/markdown",
    author="The metaie-spacy authors",
    license="MIT",
    license_files=["LICENSE", "NOTICE"],
    # Of the project's folders goes along what the commands read by default: the corpus, prompts, schemas and configs.
    packages=[
        *find_packages(include=["metaie_spacy", "metaie_spacy.*"]),
        "metaie_spacy.assets",
        "metaie_spacy.configs",
    ],
    package_dir={"metaie_spacy.assets": "assets", "metaie_spacy.configs": "configs"},
    package_data={
        "metaie_spacy": ["py.typed", "serving/page.css", "serving/page.html", "serving/page.js"],
        "metaie_spacy.assets": ["corpus.jsonl", "names.json", "*.jinja", "schemas/*.json"],
        "metaie_spacy.configs": ["*.cfg", "*.toml", "sources.json"],
    },
    python_requires=">=3.10",
    keywords=["spacy", "spacy-pipeline", "information extraction", "named entity recognition", "zero-shot", "few-shot"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)),
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Text Processing :: Linguistic",
        "Typing :: Typed",
    ],
    # No public address of the repository is known.
    project_urls={"Paper": "https://arxiv.org/abs/2404.00457"},
    install_requires=[
        "spacy>=3.8.15,<3.9",
        "spacy-transformers>=1.4.0,<1.5",
        "torch>=2.4",
        "safetensors>=0.4",
        "tqdm>=4.38",
        "typer>=0.9",
        "wasabi>=0.9.1",
        "srsly>=2.4.3",
        "numpy>=1.24",
    ],
    extras_require={
        "train": ["accelerate>=1.0"],
        "benchmark": ["accelerate>=1.0", "matplotlib>=3.8", "pyyaml>=6.0"],
        "project": PROJECT,
        "router": [*PROJECT, "scikit-learn>=1.4"],
        "audit": AUDIT,
        "parquet": ["pyarrow>=14.0"],
        "bulk": BULK,
        "ray": [*BULK, "ray[data]>=2.40"],
        "serve": SERVE,
        "review": [*SERVE, *AUDIT],
        "cuda12x": ["cupy-cuda12x>=13.0"],
        "cuda13x": ["cupy-cuda13x>=13.6"],
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.5", "mkdocstrings[python]>=0.28"],
        "test": [
            *PROJECT,
            *AUDIT,
            *SERVE,
            "pytest>=8.0",
            "pytest-xdist>=3.6",
            "ruff>=0.17",
            "hypothesis>=6.100",
            "httpx>=0.27",
            "schemathesis>=4.0",
            *BULK,
            "pandas>=2.0",
            "pyyaml>=6.0",
        ],
    },
    entry_points={
        "console_scripts": ["metaie = metaie_spacy.cli.app:main"],
        "spacy_factories": [
            "metaie = metaie_spacy.component:make_metaie",
            "metaie_router = metaie_spacy.router.component:make_router",
        ],
        "spacy_architectures": [
            "metaie-spacy.LabelToSpan.v1 = metaie_spacy.model.architectures:build_label_to_span",
            "metaie-spacy.CrossEncoder.v1 = metaie_spacy.model.architectures:build_cross_encoder",
            "metaie-spacy.SharedTransformer.v1 = metaie_spacy.model.shared:build_shared_transformer",
        ],
        "spacy_readers": ["metaie-spacy.Corpus.v1 = metaie_spacy.data.corpus:make_corpus"],
        "spacy_scorers": ["metaie-spacy.scorer.v1 = metaie_spacy.measure.scores:make_metaie_scorer"],
        "spacy_misc": [
            "metaie-spacy.Teacher.v1 = metaie_spacy.teacher.client:Teacher",
            *(f"metaie-spacy.{name}.v1 = metaie_spacy.router.policies:make_{name}" for name in POLICIES),
        ],
    },
)
