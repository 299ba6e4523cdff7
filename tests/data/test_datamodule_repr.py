"""What an interactive session shows of the data."""

from apot_lit.data.datamodule import ImageDataModule
from apot_lit.data.options import DataOptions
from tests.conftest import ROOT


def test_the_data_module_and_its_loaders_say_what_they_hold():
    options = DataOptions(data_dir=str(ROOT / "data/mnist"), train_images=300, batch_size=64, flip=True)
    datamodule = ImageDataModule(options, seed=3)
    sizes = "train=300, val=5000, test=10000"
    affine = "rotate=0.0, translate=0.0, zoom=0.0, shear=0.0"
    augmentation = f"Augmentation(flip=True, {affine}, elastic=0.0, elastic_sigma=4.0)"
    expected = f"ImageDataModule({sizes}, batch_size=64, seed=3, augmentation={augmentation})"
    assert repr(datamodule) == str(datamodule) == expected
    datamodule.setup("fit")
    assert repr(datamodule) == expected
    assert repr(datamodule.train_dataloader()) == "BatchLoader(300 images, train, 5 batches of 64, cpu)"
    assert repr(datamodule.val_dataloader()) == "BatchLoader(5000 images, in order, 5 batches of 1000, cpu)"
