"""Runs a program for as long as standard input stays open: watch_parent.py PROGRAM

Standard input is a pipe whose other end ComfyUI holds. Every system closes it when ComfyUI is gone, however that came about: it
ended, it was killed, or it replaced itself to start anew. A handler in ComfyUI would not see all of these."""

import os
import signal
import subprocess
import sys
import threading

# jobshim lets answers that are under way finish, for 10 s unless told otherwise.
PATIENCE = 15


def main(program):
    options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else {"preexec_fn": end_with_parent}
    child = subprocess.Popen([program], stdin=subprocess.DEVNULL, **options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    threading.Thread(target=end_with, args=(child,), daemon=True).start()
    try:
        while os.read(0, 4096):
            pass
    finally:
        child.send_signal(signal.CTRL_BREAK_EVENT if os.name == "nt" else signal.SIGTERM)
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()


def end_with(child):
    code = child.wait()
    # What a signal ended has a negative one.
    os._exit(code if code >= 0 else 128 - code)


def end_with_parent():
    """On Linux, where this process may be killed together with ComfyUI, the program goes too."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    main(sys.argv[1])
