"""From an image of any size to the fixed size that a backbone sees, and masks with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.header import DEPTHS
from anomalist.errors import ParameterError

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Transform:
    """Resize an image, then cut out its centre.

    An ``image_size`` of one number squashes the image to a square, so that all of it stays in
    view; for square images, such as those of MVTec AD, that is what papers do. Resizing filters
    against aliasing as Pillow does. Both steps equal torchvision's ``Resize`` and ``CenterCrop`` on
    Pillow images, bit for bit. Scaling to a backbone's mean and deviation is the backbone's
    business: pixels stay bytes.

    Parameters
    ----------
    image_size : int or (int, int)
        Side, or height and width, in pixels.
    crop_size : int, optional
        Side in pixels of the centre crop taken after resizing.
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos"}
        Filter of the resizing.
    bit_depth : {8, 10, 12, 14, 16}
        Bits of the camera whose values images of 16 bits hold: with which they are to be read, see
        `read_image`, before they are transformed.

    Raises
    ------
    ParameterError
        If a size isn't a positive whole number, the crop is larger than the image, or there is no
        such filter or number of bits.

    Examples
    --------
    >>> transform = Transform(image_size=256, crop_size=224)
    >>> transform(Image.new("RGB", (900, 600))).shape
    (224, 224, 3)
    >>> Transform.from_dict(transform.as_dict()) == transform
    True
    """

    image_size: int | tuple[int, int] = 256
    crop_size: int | None = None
    interpolation: Interpolation = "bilinear"
    bit_depth: int = 16

    def __post_init__(self) -> None:
        size: object = self.image_size
        if isinstance(size, list | tuple):
            object.__setattr__(self, "image_size", tuple(size))
            if len(size) != 2:
                raise ParameterError(f"image_size must be a side or a height and width, not {size}")
        for side in self.resized_size:
            _check_side("image_size", side)
        if self.crop_size is not None:
            _check_side("crop_size", self.crop_size)
            if self.crop_size > min(self.resized_size):
                raise ParameterError(
                    f"crop_size {self.crop_size} is larger than image_size {self.image_size}"
                )
        if self.interpolation not in get_args(Interpolation):
            raise ParameterError(
                f"interpolation must be one of {', '.join(get_args(Interpolation))}, "
                f"not {self.interpolation!r}"
            )
        if not isinstance(self.bit_depth, int) or self.bit_depth not in DEPTHS:
            raise ParameterError(
                f"bit_depth must be {', '.join(map(str, DEPTHS))}, not {self.bit_depth!r}"
            )

    @property
    def resized_size(self) -> tuple[int, int]:
        """Height and width in pixels to which images are resized, before the crop."""
        size = self.image_size
        return size if isinstance(size, tuple) else (size, size)

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width in pixels of what comes out."""
        return self.resized_size if self.crop_size is None else (self.crop_size, self.crop_size)

    def __call__(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Return the transformed image.

        Parameters
        ----------
        image : PIL.Image.Image
            Of mode RGB, as `read_image` gives it.

        Returns
        -------
        uint8 array of shape (H, W, 3)

        Raises
        ------
        ParameterError
            If the image isn't RGB.
        """
        if image.mode != "RGB":
            raise ParameterError(f"a transform takes images of mode RGB, not {image.mode}")
        return np.array(self._apply(image, Image.Resampling[self.interpolation.upper()]))

    def mask(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the mask as its image is transformed, each pixel taken from the nearest one.

        Parameters
        ----------
        mask : bool array of shape (height, width)
            As `read_mask` gives it.

        Returns
        -------
        bool array of shape (H, W)

        Examples
        --------
        >>> Transform(2).mask(np.array([[True, False, False, False]] * 4))
        array([[False, False],
               [False, False]])
        """
        image = Image.fromarray(mask.astype(np.uint8))
        return np.asarray(self._apply(image, Image.Resampling.NEAREST)).astype(np.bool_)

    def region(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Return the part of an image that comes out, in the image's own pixels.

        Parameters
        ----------
        size : (int, int)
            Height and width of the image.

        Returns
        -------
        (float, float, float, float)
            Left, top, right and bottom, counted from the outer edge of the first pixel.

        Examples
        --------
        >>> Transform(image_size=256, crop_size=224).region((512, 1024))
        (64.0, 32.0, 960.0, 480.0)
        """
        height, width = self.resized_size
        left, top, right, bottom = self._crop
        across, down = size[1] / width, size[0] / height
        return left * across, top * down, right * across, bottom * down

    def on_original(
        self,
        values: npt.NDArray[np.floating[Any]],
        size: tuple[int, int],
        window: tuple[int, int, int, int] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Bring what was found for a transformed image, such as an anomaly map, to the image.

        Parameters
        ----------
        values : array of shape (h, w)
            They cover all that comes out of the transform, at any resolution.
        size : (int, int)
            Height and width of the image.
        window : (int, int, int, int), optional
            Left, top, right and bottom in pixels of a part of the image that is enough; by default
            all of it.

        Returns
        -------
        float32 array of shape (height, width), or that of the window
            Interpolated bilinearly; NaN where the crop cut the image off.

        Examples
        --------
        >>> Transform(image_size=4, crop_size=2).on_original(np.ones((2, 2)), (4, 8))
        array([[nan, nan, nan, nan, nan, nan, nan, nan],
               [nan, nan,  1.,  1.,  1.,  1., nan, nan],
               [nan, nan,  1.,  1.,  1.,  1., nan, nan],
               [nan, nan, nan, nan, nan, nan, nan, nan]], dtype=float32)
        """
        left, top, right, bottom = self.region(size)
        across, down = values.shape[1] / (right - left), values.shape[0] / (bottom - top)
        x, y, x_end, y_end = (0, 0, size[1], size[0]) if window is None else window
        placed = Image.fromarray(values.astype(np.float32)).transform(
            (x_end - x, y_end - y),
            Image.Transform.AFFINE,
            (across, 0, (x - left) * across, 0, down, (y - top) * down),
            Image.Resampling.BILINEAR,
            fillcolor=float("nan"),
        )
        return np.array(placed)

    def resized(self, image: Image.Image) -> Image.Image:
        """Return the image resized and not yet cropped; what is passed on from there is the same.

        Examples
        --------
        >>> Transform(image_size=256, crop_size=224).resized(Image.new("RGB", (900, 600))).size
        (256, 256)
        """
        return self._resize(image, Image.Resampling[self.interpolation.upper()])

    def cropped(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Return as the transform gives it what `resized` gave.

        Parameters
        ----------
        image : PIL.Image.Image
            RGB, of the size to which images are resized.

        Returns
        -------
        uint8 array of shape (H, W, 3)
        """
        return np.array(image if self.crop_size is None else image.crop(self._crop))

    @property
    def crop_corner(self) -> tuple[int, int]:
        """Left and top of what is cut out of the resized image."""
        return self._crop[:2]

    def _resize(self, image: Image.Image, resampling: Image.Resampling) -> Image.Image:
        height, width = self.resized_size
        return image.resize((width, height), resampling)

    def _apply(self, image: Image.Image, resampling: Image.Resampling) -> Image.Image:
        resized = self._resize(image, resampling)
        return resized if self.crop_size is None else resized.crop(self._crop)

    @property
    def _crop(self) -> tuple[int, int, int, int]:
        """What is cut out of the resized image: left, top, right, bottom."""
        height, width = self.output_size
        # As torchvision, round() takes halves to the even neighbour.
        top, left = (round((self.resized_size[i] - self.output_size[i]) / 2) for i in range(2))
        return left, top, left + width, top + height

    def as_dict(self) -> dict[str, Any]:
        """Return the parameters as plain JSON values, for records."""
        values = dataclasses.asdict(self)
        if isinstance(self.image_size, tuple):
            values["image_size"] = list(self.image_size)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a transform of what `as_dict` gave.

        Raises
        ------
        ParameterError
            If a key is unknown or a value makes no sense.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = [key for key in values if key not in known]
        if unknown:
            raise ParameterError(f"a transform has {', '.join(known)}, but no {unknown[0]!r}")
        return cls(**values)


def _check_side(name: str, side: object) -> None:
    if not isinstance(side, int) or isinstance(side, bool) or side < 1:
        raise ParameterError(f"{name} must be a positive whole number of pixels, not {side!r}")
