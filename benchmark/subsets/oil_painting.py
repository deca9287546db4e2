"""The oil paintings: Stable Diffusion's, of 22 classes, in a folder with one subfolder a class (SPEC, 2 and 6)."""

from __future__ import annotations

from benchmark.data.schema import STABLE_DIFFUSION
from benchmark.images.files import ImageFiles
from benchmark.subsets.items import Input, by_class, one_group

# The classes that the paper lists, with their ImageNet-1k index: stingray, bullfrog, box turtle, garter snake,
# harvestman, crayfish, hermit crab, mongoose, rhinoceros beetle, weevil, wood rabbit, capuchin, African elephant,
# breastplate, drumstick, envelope, hand blower, shovel, spatula, syringe, wine bottle, corn.
CLASSES = frozenset(
    (6, 30, 37, 57, 70, 124, 125, 298, 306, 307, 330, 378, 386, 461, 542, 549, 589, 792, 813, 845, 907, 987)
)


def read(files: ImageFiles) -> Input:
    """Look the oil paintings over. The release states no licence for them, and the rows say so.

    Raises:
        UserError: for a folder whose name is none of the 22 classes.
    """
    facts = {
        "label_origin": "folder",
        "source": STABLE_DIFFUSION,
        "licence": "not stated in the release",
        "attribution": 'Stable Diffusion, prompt "an oil painting of a <class>", after Dataset Interfaces / ImageNet*',
    }
    items = by_class(files, one_group("oil_painting"), CLASSES, facts, lambda name: None)
    return Input("oil_painting", files, items)
