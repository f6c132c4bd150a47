#!/usr/bin/env python3
"""h5py + torch DataLoader reading packed CosmoFlow files or DeepCAM's maps; prints one JSON line. Workers open files lazily, as users do."""
import argparse
import glob
import json
import time

import h5py
import torch
from torch.utils.data import DataLoader, Dataset


class Packed(Dataset):
    def __init__(self, folder: str):
        self.paths = sorted(glob.glob(folder + "/*.hdf5"))
        self.index = []
        for number, path in enumerate(self.paths):
            with h5py.File(path, "r") as file:
                self.index += [(number, row) for row in range(file["x"].shape[0])]
        self.files = {}

    def __len__(self):
        return len(self.index)

    def __getitem__(self, item):
        number, row = self.index[item]
        if number not in self.files:
            self.files[number] = h5py.File(self.paths[number], "r")
        file = self.files[number]
        return torch.from_numpy(file["x"][row]), torch.from_numpy(file["y"][row])


class Maps(Dataset):
    """DeepCAM's files: one sample each, read whole; float32 channels last and integer labels, as they are stored."""

    def __init__(self, folder: str):
        self.paths = sorted(glob.glob(folder + "/*.h5"))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, item):
        with h5py.File(self.paths[item], "r") as file:
            return torch.from_numpy(file["climate/data"][...]), torch.from_numpy(file["climate/labels_0"][...])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--maps", action="store_true", help="the files are DeepCAM's")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    loader = DataLoader((Maps if arguments.maps else Packed)(arguments.folder), batch_size=arguments.batch, shuffle=True, num_workers=arguments.workers,
                        persistent_workers=True, prefetch_factor=4)
    samples = 0
    for _ in loader:  # starts workers, fills the page cache
        pass
    start = time.perf_counter()
    for _ in range(arguments.epochs):
        for x, _ in loader:
            samples += x.shape[0]
    seconds = time.perf_counter() - start
    print(json.dumps({"program": "h5py + torch DataLoader", "samples_per_s": samples / seconds, "workers": arguments.workers}))


if __name__ == "__main__":
    main()
