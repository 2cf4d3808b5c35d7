"""Make tests/data/bundle: a bundle of the newest format, small enough to be committed.

Run from the project's root: python tests/data/make_bundle.py. Bundles of older formats are kept, not made again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))


def main() -> None:
    """Export a two-layer classifier and keep everything but its SavedModel."""
    from models import save_classifier

    with tempfile.TemporaryDirectory() as folder:
        model, bundle = Path(folder) / "model.keras", Path(folder) / "bundle"
        save_classifier(model)
        options = ["--labels", "entailment,neutral,contradiction", "--fields", "hypothesis,premise"]
        subprocess.run([sys.executable, "-m", "pairlift", "export", str(model), str(bundle), *options], check=True)
        shutil.rmtree(bundle / "saved_model")
        shutil.rmtree(HERE / "bundle", ignore_errors=True)
        shutil.copytree(bundle, HERE / "bundle")


if __name__ == "__main__":
    main()
