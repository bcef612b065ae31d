"""Files, folders and arrays become image sets, and image sets become batches of pixels."""

from anomalist.data.decoded import Decoded
from anomalist.data.download import SOURCES, download
from anomalist.data.folder import Folder
from anomalist.data.formats import FORMATS, open_dataset
from anomalist.data.given import ImageLike, ImagesLike, as_image_set
from anomalist.data.header import DEPTHS
from anomalist.data.images import IMAGE_SUFFIXES, image_size, read_image
from anomalist.data.imageset import Category, Dataset, ImageSet
from anomalist.data.input_size import of_as_many_pixels, rounded, scaled, usual_size
from anomalist.data.kolektor import KolektorSDD
from anomalist.data.layout import list_images
from anomalist.data.loader import load_batches, load_masks
from anomalist.data.manifest import Manifest
from anomalist.data.masks import read_mask
from anomalist.data.mvtec_ad import MVTecAD
from anomalist.data.mvtec_ad_2 import MVTecAD2
from anomalist.data.real_iad import RealIAD
from anomalist.data.remarks import Remarks, bit_depth_of, gather_remarks, is_constant
from anomalist.data.sample import Sample
from anomalist.data.samples import make_sample_set
from anomalist.data.saturation import ANOMALIES, Defect, read_saturations
from anomalist.data.several import Several, open_datasets, part_of
from anomalist.data.source import Content
from anomalist.data.transforms import Interpolation, Transform
from anomalist.data.truth import gather_mask_remarks
from anomalist.data.understanding import Understanding
from anomalist.data.visa import VisA
from anomalist.data.walking import Listing, walk

__all__ = [
    "ANOMALIES",
    "DEPTHS",
    "FORMATS",
    "IMAGE_SUFFIXES",
    "SOURCES",
    "Category",
    "Content",
    "Dataset",
    "Decoded",
    "Defect",
    "Folder",
    "ImageLike",
    "ImageSet",
    "ImagesLike",
    "Interpolation",
    "KolektorSDD",
    "Listing",
    "MVTecAD",
    "MVTecAD2",
    "Manifest",
    "RealIAD",
    "Remarks",
    "Sample",
    "Several",
    "Transform",
    "Understanding",
    "VisA",
    "as_image_set",
    "bit_depth_of",
    "download",
    "gather_mask_remarks",
    "gather_remarks",
    "image_size",
    "is_constant",
    "list_images",
    "load_batches",
    "load_masks",
    "make_sample_set",
    "of_as_many_pixels",
    "open_dataset",
    "open_datasets",
    "part_of",
    "read_image",
    "read_mask",
    "read_saturations",
    "rounded",
    "scaled",
    "usual_size",
    "walk",
]
