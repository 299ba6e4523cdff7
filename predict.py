"""Predicts the class of pictures: ``python predict.py ckpt_path=... images=photo.jpg`` (or a folder, .npy, IDX)."""

from apot_lit.commands import predict

if __name__ == "__main__":
    predict()
