"""The bytes of every method, pinned: a key says a method's revision, and so one revision must mean one result for ever."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from modelbuild.methods import installed, load
from tests.engine.jobs import DTYPES
from tests.methods.values import WAYS, family, uniform

PINNED: dict[tuple[str, int], tuple[str, str, str]] = {
    ("breadcrumbs", 1): (
        "a996887f6d5132ab5c1d69372446c5b2618807a2d1817845ab01b14d1b762660",
        "6b7a390c498e8b7876b4de32f32064fa998b2077feee100b7c3d1432ec70d4a0",
        "0521cba3059530d844180a1414954bf4da4db5821ca415f0aaf8ecfd0a8457ae",
    ),
    ("breadcrumbs_ties", 1): (
        "b0862531edf47f3b1821c4aaf1c29db030a346316dc6e63a95f42c61ba9c468f",
        "98cb8b3bb423dffab5fd1e5947546cdbb0f7d517a3629ac62d5f0de4d602f648",
        "16d60040f180010d59a0ab111672d7e9cd5294e4611aaac3140bb32a166b0d35",
    ),
    ("della", 2): (
        "71fa605f36ffef8c963f0982f42538c29e073a824f8c30f322ca8f9467c530cf",
        "b3f641abc262fe7f5a331e512166e196044cef7b9118263de0c467ec32626848",
        "bf1aeb58cbd7ab4e5798c21fcedc15d4e0ea1aa99e6d2abe0bbbd71dff8931d8",
    ),
    ("della_linear", 2): (
        "237e4874089d12e9e924cb8afb5628fd160738e3ebd17345d51a17d85ce56e72",
        "46197e111d4ebdef669e9a8bf28e58c1707eb84feb2b77b50e840c9a2193bfae",
        "accd2a2d824d78cd582cd6571898aead8dd728acac1bfcd451d39b32e0fe3258",
    ),
    ("model_stock", 1): (
        "c0518b65cbd5c40ed80d1f8992d1cfa982b98263a9e952732a8cccba670a5478",
        "1563f9758bf3d012d15b76275b99cf35f7303deec6edce9a514a16db7eb12de7",
        "ed0e8a87adda2e81e3f263dc99211df147390406c60f2bbe27c0ebadb30d76b7",
    ),
    ("dare_linear", 2): (
        "9bcd7490056dc4695112d1360f1e20994dcc50a0306624961f948d9f646824b0",
        "765e5b80fcbcf9aa1ed81df46b67d826a8dfc19552eef5a3252e5d312480927a",
        "ca6f9c6e8993e4189e6761980a0052e033343755f94587a40ac758a997fdff9a",
    ),
    ("dare_ties", 2): (
        "01af7c72636109e66b198f397ae861d4b49a30c46a6090cfbbf82c87c4033137",
        "721fe18cfd13f7d14ecf258311f39ccf4e51a72a1d063e81b8ce0b6fe058b265",
        "1dae45095bdfe6cc8f9c7fddf83d7609a85931e3cddd43ce12a59cb4ed8a3dee",
    ),
    ("ema", 1): (
        "28e67b9cc0d6582c727b17aeaa8662ba659d47dc29da4dd85634859089724d0c",
        "ff7b927334d5c3c48f203041039394c6de00a24b4338a639f5f7242833ace682",
        "98d5b7249e1e931f94b6ff105f3028572bcc43842d6a467a0d4fa1a9519b1f62",
    ),
    ("extrapolate", 1): (
        "8e44af9ca68894668da84c58281e166e21457c5732447f1a4c90d8901876ba47",
        "f53195d01531ebc74e318548e2c9ebd2716fc671626076dbc4ed5095370e2d4e",
        "8d37f6da67a0a23d734d80625f008fbcb3ab7803687a75a94ddd28fb024695ad",
    ),
    ("geometric_median", 1): (
        "edb4e0c62c46915c3de9d528517d4136af2221c5d8870cd4578f4d9948238af3",
        "99d5239aaef5eb7d73902fa1e126adedfe5852eb416d7a42b292848bd72af937",
        "643e566e6e05dc0e7deb0c92598f17a1e6f807517040582101e4a6198250d2af",
    ),
    ("karcher", 1): (
        "8280a3b99b69a71eae6987e8fa2a959ad4c0ee8fabba205977dcf1a3a94c948c",
        "0766261978389545bae7e5d3984fb69a44958af131c045ed93ba1a2430c46ab0",
        "a6a05cd404facc5fe5bdc50451fdd5b9706234c0f6692fc381539300ab615e20",
    ),
    ("linear", 1): (
        "5de4cd3f007c52db9655b8056e3df4affc71b91f5703bd4499787f4d18ebb722",
        "482df2b5d90635358e5e7945680ba8949d7b426ec7dd91bf21e730bad61753d1",
        "b0b805b8bca88d30bff901b1ce33e49172b388731e691890825506727ddf18d8",
    ),
    ("multislerp", 1): (
        "90030b7b271fed721c141c24f4667c73b487736b859caccaec456a6788e71fa2",
        "36138b56093556cd302513a4cfd14c055811096e6d3ac4a6988c5623330eea61",
        "de827e2a2ff3b2e059aab4f176c1756151bc97e90152019d689bfc3a0fde6894",
    ),
    ("nearswap", 1): (
        "aa262c05c7ddbd50b8f169ab59f4e0b7ce4345a50cf201190da0eb3f53d34417",
        "0c3f9cf7315ba619dfee763f332478d23d3168eafb878401ecdfc38ffcee4739",
        "654da9a19bd969c775c07d5474d8a5222b24c9be247925f38aa9159e3ef67a89",
    ),
    ("nuslerp", 1): (
        "7df9617535824da61c437d4dc85484c90d11971b0788db1603014464621f8f72",
        "0babe224f849187cabfa0c69507f12c84757cbef309e36955348d9a3c760548d",
        "58bb4b332f4a16ce12480ec566d8ab6376af21ab9a15c12156ebce24fb426048",
    ),
    ("passthrough", 1): (
        "9f29a108045d069df140ab0001620c1368ec8a0e186126d6e5442c65a22e9df4",
        "20dcfc1c7145566b08c2c5da20ae999b61f20d69cab8bffc54a6a868324c2e3f",
        "016aeb280ac93973f26a86da758d2240132e6400c9287df0a2ce96a8bf9d7f59",
    ),
    ("slerp", 1): (
        "5758290775389e3aa4bc31b8e3a5fcfdd7fbfc880944df5664a4d059b4eb484c",
        "64d94f34d5fe0d984f80ea361c26b991d743db3b69d4222b325ed9a7eabcbc62",
        "f17a0fd7e6f6ea232a444103ef8cdbfa0a1c6cea3804da8130a40362b3a02355",
    ),
    ("consensus_ta", 1): (
        "0cf2d0927185870b1e77d8c1e5189df4bb126d0431482c92d491d76b3f652851",
        "76a0f3d6dabe92763bb33e54833b64d612376d70ac4b638da2ecdf76bad82f09",
        "91d0591279cb76c19e84533624d0fd36d4a270c5b51f941ca22a49986e8dd258",
    ),
    ("ram", 1): (
        "4f8b208de1c5ccdc35c7627604b1003b9971bc0792e8014d189ee04734b41561",
        "b230b977a5252e18284e6286b80802d610e2435034f0b5937ef08fed4874a3ff",
        "0cb007311aa9d83fe115365028c278195ca37073893d93e99f0453ff7a7d9c11",
    ),
    ("ramplus", 1): (
        "4f8b208de1c5ccdc35c7627604b1003b9971bc0792e8014d189ee04734b41561",
        "b230b977a5252e18284e6286b80802d610e2435034f0b5937ef08fed4874a3ff",
        "0cb007311aa9d83fe115365028c278195ca37073893d93e99f0453ff7a7d9c11",
    ),
    ("ramplus_tl", 1): (
        "4f8b208de1c5ccdc35c7627604b1003b9971bc0792e8014d189ee04734b41561",
        "b230b977a5252e18284e6286b80802d610e2435034f0b5937ef08fed4874a3ff",
        "0cb007311aa9d83fe115365028c278195ca37073893d93e99f0453ff7a7d9c11",
    ),
    ("sce", 1): (
        "3699c71718a5d3a617eb3b216dac331f50830affe41c017cb790dec0c7bcda6e",
        "4c72ddffb4cb73b27456a132a64769519708a26294650fce92d75218647212f7",
        "9394c270aea87b94e550ec75376a2bf4c5c38bd86ba123196e44d10268c471b8",
    ),
    ("task_arithmetic", 1): (
        "e042c75b125b8f2a5812e443ec9e2fe98ab9ced50ce44b702f12b745418148a4",
        "4e8997c59b25d2a56949b7ad307660826d510a4a0a138648922aeb0585812489",
        "0e6223febd70c3036f5dce5362ead66ba1e7302756ed75b086533ef4d624b3fc",
    ),
    ("ties", 1): (
        "91097b8c11c7f310b5ad27531daa8de9dc1f749a281d614fba35f016fc1171fd",
        "0b43975b1f8e85d6815f0519ba5178c9da07023a97bbcc3bdab3b2ba12b4c7ff",
        "78cb40617d8b88e037c48fe6a9aa045b70caae9ec9b528ec7671650c610db4ff",
    ),
}
"""(method, revision) to the digests of one case in BF16, F16 and F32."""

BUILT_IN = [name for name, point in installed().items() if point.module.startswith("modelbuild.") and load(name).numerics == "exact"]


def digests(name: str) -> tuple[str, ...]:
    """Merge a seeded case of two blocks, in the first of the ways that `WAYS` has for the method."""
    case = family(next(way for way in WAYS if way[0].name == name), uniform(0, 241, 307))
    return tuple(replace(case, dtype=dtype).compute()[0] for dtype in DTYPES)


def judged(name: str, revision: int, found: tuple[str, ...], pinned: dict[tuple[str, int], tuple[str, str, str]]) -> str:
    """Say what is wrong with what a method computes; "" if nothing is."""
    if (name, revision) not in pinned:
        return f"pin revision {revision} of `{name}`: {found}"
    return "" if pinned[name, revision] == found else f"the bits of `{name}` changed: raise its revision"


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_bits_of_a_method_change_with_its_revision_alone(name):
    """Every built-in method, in every type."""
    wrong = judged(name, load(name).revision, digests(name), PINNED)

    assert not wrong, wrong


def test_other_bits_under_the_same_revision_are_told_what_to_do():
    pinned = {("tie", 1): ("a", "b", "c")}

    assert "" == judged("tie", 1, ("a", "b", "c"), pinned)
    assert "the bits of `tie` changed: raise its revision" == judged("tie", 1, ("a", "b", "d"), pinned)
    assert "pin revision 2 of `tie`: ('a', 'b', 'd')" == judged("tie", 2, ("a", "b", "d"), pinned)
