"""How the C library hands out memory: large images come and go, and should stay mapped."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # malloc.h
_MOST = 2**31 - 1
_TOP_PAD_BYTES = 64 << 20


def keep_large_blocks() -> bool:
    """Let glibc reuse the memory of freed images instead of returning it to the kernel.

    By default each block over 32 MB is mapped anew, so that every one of its pages is faulted in
    and zeroed again: for 12 megapixels a quarter of the time of decoding. Call it before threads
    start. Returns whether it was done; other C libraries are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    wanted = (
        # One heap for all threads: what one frees, another can use. Threads wait for it, but four
        # heaps gained no more on small images than runs differ by (49.6 and 50.8 against 48.7
        # images/s), and took 28 to 34 % more memory for 12 megapixels.
        (_M_ARENA_MAX, 1),
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, _MOST),
        (_M_TOP_PAD, _TOP_PAD_BYTES),
    )
    done = [bool(mallopt(option, value)) for option, value in wanted]
    return all(done)
