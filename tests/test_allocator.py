"""The setting of glibc's allocator."""

import platform
import subprocess
import sys

from hf_rnn_seq2seq.allocator import keep_freed_memory


def test_setting_takes_effect_on_glibc_only():
    assert keep_freed_memory(top_pad_mib=1) == (platform.libc_ver()[0] == "glibc")


def test_import_leaves_the_allocator_alone():
    code = "import sys, hf_rnn_seq2seq; print('hf_rnn_seq2seq.allocator' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
