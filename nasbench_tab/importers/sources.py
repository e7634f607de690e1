"""Where the official benchmarks are published, how large they are, and how a file is known to be the right one.

Checksums are the publishers' own where they state one: in full, or as the last digits of an MD5 in the file's
name. ``ours`` is the SHA-256 of the file at the commit that the address names, computed by us. Sizes
without an exact figure are what users report.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SOURCES", "Source"]


class Source(NamedTuple):
    """One file that can be fetched.

    Attributes:
        url: Where it is; empty if only a page can be named.
        file: Its published name.
        size: About how many bytes it has; 0 where that is not known.
        licence: The licence of its figures, as the publisher states it.
        page: The page that describes it.
        format: What ``nasbench-tab import`` calls it.
        sha256: Its checksum; empty where none is known.
        md5_end: The last digits of its MD5; empty where none are known.
        ours: Whether the checksum is ours, not the publisher's.
    """

    url: str
    file: str
    size: int
    licence: str
    page: str
    format: str
    sha256: str = ""
    md5_end: str = ""
    ours: bool = False


_MB = 10**6
_DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
_NASBENCH = "https://github.com/google-research/nasbench"
_NATS = "https://github.com/D-X-Y/NATS-Bench"
_NB201 = "https://github.com/D-X-Y/NAS-Bench-201"
_NLP = "https://github.com/fmsnew/nas-bench-nlp-release"
_NLP_RAW = f"{_NLP}/raw/a6d90a3b19e3966b1d009c0970b3761aa46707d1/"
_MACRO = "https://github.com/xiusu/NAS-Bench-Macro"
_HW = "https://github.com/GATECH-EIC/HW-NAS-Bench"

#: By the name that ``nasbench-tab fetch`` takes.
SOURCES = {
    "nasbench101": Source(
        "https://storage.googleapis.com/nasbench/nasbench_full.tfrecord",
        "nasbench_full.tfrecord",
        1_950 * _MB,
        "Apache-2.0 (code)",
        _NASBENCH,
        "nasbench101",
        sha256="3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c",
    ),
    "nasbench101-only108": Source(
        "https://storage.googleapis.com/nasbench/nasbench_only108.tfrecord",
        "nasbench_only108.tfrecord",
        499 * _MB,
        "Apache-2.0 (code)",
        _NASBENCH,
        "nasbench101",
        sha256="4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1",
    ),
    "nats-tss": Source(
        f"{_DRIVE}1vzyK0UVH2D3fTpa1_dSWnp1gvGpAxRul",
        "NATS-tss-v1_0-3ffb9.pickle.pbz2",
        1_000 * _MB,
        "MIT",
        _NATS,
        "nats-tss",
        md5_end="3ffb9",
    ),
    "nats-sss": Source(
        f"{_DRIVE}1IabIvzWeDdDAWICBzFtTCMXxYWPIOIOX",
        "NATS-sss-v1_0-50262.pickle.pbz2",
        0,
        "MIT",
        _NATS,
        "nats-sss",
        md5_end="50262",
    ),
    "nats-tss-simple": Source(
        f"{_DRIVE}17_saCsj_krKjlCBLOJEpNtzPXArMCqxU",
        "NATS-tss-v1_0-3ffb9-simple.tar",
        1_300 * _MB,
        "MIT",
        _NATS,
        "nats-tss",
    ),
    "nats-sss-simple": Source(
        f"{_DRIVE}1scOMTUwcQhAMa_IMedp9lTzwmgqHLGgA",
        "NATS-sss-v1_0-50262-simple.tar",
        1_100 * _MB,
        "MIT",
        _NATS,
        "nats-sss",
    ),
    "nasbench201-v1.0": Source(
        f"{_DRIVE}1SKW0Cu0u8-gb18zDpaAGi0f74UdXeGKs",
        "NAS-Bench-201-v1_0-e61699.pth",
        2_200 * _MB,
        "MIT",
        _NB201,
        "nasbench201",
        md5_end="e61699",
    ),
    "nasbench201-v1.1": Source(
        f"{_DRIVE}16Y0UwGisiouVRxW-W5hEtbxmcHw_0hF_",
        "NAS-Bench-201-v1_1-096897.pth",
        4_700 * _MB,
        "MIT",
        _NB201,
        "nasbench201",
        md5_end="096897",
    ),
    "nasbench301": Source(
        "",
        "the archive of the dataset's logs",
        0,
        "see the page",
        "https://figshare.com/articles/dataset/NAS-Bench-301_dataset_v1_0/13246952",
        "nasbench301",
    ),
    "nasbench-nlp-wikitext-2": Source(
        f"{_NLP_RAW}train_logs_wikitext-2/logs.zip",
        "nasbench-nlp-wikitext-2.zip",
        879_000,
        "Apache-2.0",
        _NLP,
        "nasbench-nlp",
        sha256="f5052d6bea6398001e32c986322a243e8cdedffa906caf242eb0a62ee105aa12",
        ours=True,
    ),
    "nasbench-nlp-ptb": Source(
        f"{_NLP_RAW}train_logs_single_run/logs.zip",
        "nasbench-nlp-ptb.zip",
        0,
        "Apache-2.0",
        _NLP,
        "nasbench-nlp",
    ),
    "nasbench-macro": Source(
        f"{_MACRO}/raw/61a2bfc2ca0dce04d0997e6cf498047c27d6acf2/data/nas-bench-macro_cifar10.json",
        "nas-bench-macro_cifar10.json",
        1_178_821,
        "Apache-2.0",
        _MACRO,
        "nasbench-macro",
        sha256="686dee8363cc21cca8c1f321ad5749454f2d9b9ca5972682e137e539bc522297",
        ours=True,
    ),
    "hw-nas-bench": Source(
        f"{_HW}/raw/main/HW-NAS-Bench-v1_0.pickle",
        "HW-NAS-Bench-v1_0.pickle",
        0,
        "MIT",
        _HW,
        "hw-nas-bench",
    ),
}
