"""Installs torch into this environment: the CPU build where there is no NVIDIA GPU (gigabytes smaller)."""

import importlib.util
import shutil
import subprocess
import sys

VERSION = "2.13.0"
PIP = [sys.executable, "-m", "pip", "install", "--quiet"]


def main() -> None:
    """Leaves a torch that is already there alone."""
    if importlib.util.find_spec("torch"):
        return
    if sys.platform != "linux" or shutil.which("nvidia-smi"):
        subprocess.run([*PIP, "torch"], check=True)  # on other systems the plain build is the CPU build
        return
    print("No NVIDIA GPU: installing the CPU build of torch …", flush=True)
    # First from the indexes that pip is set up with; then through uv, which knows where the CPU builds lie.
    if subprocess.run([*PIP, f"torch=={VERSION}+cpu"], capture_output=True).returncode == 0:
        return
    subprocess.run([*PIP, "uv"], check=True)
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
    if subprocess.run([*uv, "--torch-backend=cpu", f"torch=={VERSION}"]).returncode != 0:
        print("No CPU build could be had: installing the plain build, several gigabytes.", flush=True)
        subprocess.run([*PIP, f"torch=={VERSION}"], check=True)


if __name__ == "__main__":
    main()
