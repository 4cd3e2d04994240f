"""Tell glibc to keep large freed blocks: the setting of a process of ours, never of an import."""

import ctypes
import logging

logger = logging.getLogger(__name__)

# parameters of mallopt(3), from malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory(top_pad_mib: int = 256) -> bool:
    """Stop glibc from handing every large tensor back to the kernel and taking it again as fresh zeroed pages.

    Makes training on a CPU markedly faster at the price of memory that is not returned before the process ends.

    Args:
        top_pad_mib (`int`): MiB asked from the kernel in advance each time the heap grows.

    Returns:
        True if it took effect; False on a C library other than glibc.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        logger.info("This C library has no mallopt; memory is left to its own allocator.")
        return False
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: top_pad_mib * 2**20}
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())
