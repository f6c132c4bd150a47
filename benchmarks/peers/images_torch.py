#!/usr/bin/env python3
"""Random crops of JPEGs by torchvision and a DataLoader, from the files that trainmark reads; prints one JSON line.

Form pil: PIL decodes the image, RandomResizedCrop resizes by PIL. Form turbo: torchvision's own decoder (libjpeg-turbo) and its
resize of tensors. Both stop at uint8 pixels, channels last, in a batch; areas and aspects are the reference's.
"""
import argparse
import glob
import io
import json
import time

import h5py
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2


class Images(Dataset):
    def __init__(self, folder: str, form: str, extent: int):
        self.paths, self.form, self.files = sorted(glob.glob(folder + "/*.h*5")), form, {}
        self.index = []
        for number, path in enumerate(self.paths):
            with h5py.File(path, "r") as file:
                self.index += [(number, row) for row in range(len(file["labels"]))]
        self.crop = v2.Compose([v2.RandomResizedCrop(extent, scale=(0.05, 1.0), ratio=(3 / 4, 4 / 3)), v2.RandomHorizontalFlip()])

    def __len__(self):
        return len(self.index)

    def __getitem__(self, item):
        number, row = self.index[item]
        if number not in self.files:
            file = h5py.File(self.paths[number], "r")
            self.files[number] = (file["jpeg"], file["offsets"][:], file["labels"][:])
        jpeg, offsets, labels = self.files[number]
        coded = jpeg[offsets[row]:offsets[row + 1]]
        if self.form == "pil":
            pixels = torch.from_numpy(np.array(self.crop(Image.open(io.BytesIO(coded.tobytes())).convert("RGB"))))
        else:
            pixels = self.crop(decode_jpeg(torch.from_numpy(coded), ImageReadMode.RGB)).permute(1, 2, 0).contiguous()
        return pixels, int(labels[row])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--form", choices=["pil", "turbo"], default="pil")
    parser.add_argument("--images", type=int, default=224, help="pixels of a crop along a side")
    parser.add_argument("--threads", type=int, default=1, help="worker processes")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loader = DataLoader(Images(arguments.folder, arguments.form, arguments.images), batch_size=arguments.batch, shuffle=True,
                        num_workers=arguments.threads, persistent_workers=True, prefetch_factor=4)
    samples = 0
    for _ in loader:  # starts workers, fills the page cache
        pass
    start = time.perf_counter()
    for _ in range(arguments.epochs):
        for pixels, _ in loader:
            samples += pixels.shape[0]
    seconds = time.perf_counter() - start
    print(json.dumps({"program": f"torchvision {arguments.form} + DataLoader", "samples_per_s": samples / seconds, "workers": arguments.threads}))


if __name__ == "__main__":
    main()
