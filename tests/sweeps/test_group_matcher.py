"""An independent comparison: timm's own grouping of parameters into blocks (layer decay)."""

from __future__ import annotations

import pytest
from timm.models._manipulate import group_parameters

from tests.nets import build, find_in
from tests.sweeps.selection import module_of, smallest
from tests.sweeps.survey import every_architecture
from tests.sweeps.test_zoo import TABLE

# timm's groups are whole stages, or pairs of blocks, in these modules.
COARSE = {
    "cait", "cpubone", "crossvit", "davit", "dla", "efficientformer", "efficientformer_v2", "gcvit",
    "hrnet", "maxxvit", "mobilevit", "mvitv2", "nasnet", "pnasnet", "pvt_v2", "vitamin",
}  # fmt: skip
# timm also lists blocks without a shortcut, and other layers between them, in these.
NOT_ALL_RESIDUAL = {
    "coat", "cspnext", "densenet", "efficientnet", "efficientvit_mit", "ghostnet", "hardcorenas",
    "hgnet", "iformer",
    "inception_resnet_v2", "inception_v3", "inception_v4", "lcnetv2", "lowformer", "mobilenetv3",
    "mobilenetv5", "rdnet", "repghost", "rexnet", "selecsls", "starnet", "vgg", "volo", "vovnet", "xception",
    "xception_aligned",
}  # fmt: skip

SIZES = {name: int(row["params"]) for name, row in TABLE.items()}
CHOSEN = smallest([name for name in every_architecture() if name.startswith("timm/")], SIZES)


@pytest.mark.parametrize("name", CHOSEN)
def test_sites_are_timms_blocks(name):
    model = build(name.removeprefix("timm/"), meta=True)
    if not hasattr(model, "group_matcher"):
        pytest.skip("timm does not group this model's parameters")
    groups = group_parameters(model, model.group_matcher(coarse=False), reverse=True)
    sites = [item.site.name for item in find_in(model).found]
    of_site = {site: {groups[key] for key in groups if key.startswith(f"{site}.")} for site in sites}
    assert [site for site, found in of_site.items() if len(found) != 1] == []
    blocks = len(set(groups.values())) - 2  # the stem and the head
    module = module_of(name).removeprefix("timm/")
    if module not in COARSE:
        assert len({min(found) for found in of_site.values()}) == len(sites), "two sites share a block"
    if module not in COARSE | NOT_ALL_RESIDUAL:
        assert len(sites) in (blocks, blocks + 1), "one more where the model has no head"
