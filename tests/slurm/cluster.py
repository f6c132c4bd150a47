#!/usr/bin/env python3
"""A Slurm of several nodes on one machine, for as long as this process lives. The controller and each node stand in namespaces of their
own: a node has its own host name, processes, /dev/shm and local disk. Whatever ends this process ends them too, and all that they
write is in a tmpfs that goes with them. By itself it starts nodes n0 and n1 and a command: tests/slurm/cluster.py srun -N 2 hostname"""
import atexit
import ctypes
import fcntl
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

SKIPPED = 77  # CTest's SKIP_RETURN_CODE
INSIDE = "TRAINMARK_SLURM_FOLDER"  # set: this process is in the namespaces already
ADDRESS = "10.0.0.1"
DISK_MIB = 64  # of a node's local disk
CPUS = 4  # of a node, as Slurm counts; the machine may have fewer
OWN = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
PACKAGES = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "srun": "slurm-client", "mpirun": "openmpi-bin"}

# cred_expire is also how long a requeued job waits; SlurmdTimeout, after how long a silent node counts as gone (seconds).
CONFIGURATION = """ClusterName=trainmark
SlurmctldHost=localhost({address})
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool.%n
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TmpFS={folder}/tmp
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
KillWait=5
SchedulerParameters=sched_interval=1
"""


def find(program: str) -> str:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or ""


def obstacle() -> str:
    """Why no Slurm can be started here; empty if one can."""
    missing = [package for program, package in PACKAGES.items() if not find(program)]
    if missing:
        return f"not installed: {' '.join(missing)} (scripts/setup.sh --tests)"
    if next(pathlib.Path("/usr/lib").glob("**/slurm*/mpi_pmix.so"), None) is None:
        return "this Slurm has no mpi_pmix (Debian: slurm-wlm-basic-plugins)"
    if os.geteuid() != 0:
        return "slurmd is to be started by root"
    tried = subprocess.run([*OWN, "--net", "sh", "-c", "hostname n0 && mount -t tmpfs tmpfs /dev/shm"], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"namespaces and mounts are not allowed here: {tried.stderr.strip()}"


def wait_like_init(child: int) -> int:
    """What the first process of a PID namespace is for: buries orphans until `child` has ended. Its code."""
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status)


def end_with_parent():
    set_parent_death_signal = 1  # linux/prctl.h
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def enter_or_skip():
    """Goes on as the second process of new namespaces. The first ends with it, and with the first all others do."""
    if INSIDE not in os.environ:
        if reason := obstacle():
            print(f"skipped: {reason}", flush=True)
            sys.exit(SKIPPED)
        folder = tempfile.mkdtemp(prefix="trainmark-slurm-")
        os.environ[INSIDE] = folder
        unshare = subprocess.Popen([*OWN, "--net", sys.executable, *sys.argv], preexec_fn=end_with_parent)
        try:
            code = unshare.wait()
        finally:
            unshare.kill()
            os.rmdir(folder)  # its content was mounted in there
        sys.exit(code & 0xFF)
    if child := os.fork():
        sys.exit(wait_like_init(child) & 0xFF)
    mount("-t", "tmpfs", "tmpfs", os.environ[INSIDE])


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


def make_network():
    """The loopback is all there is. Slurm looks up no name where all addresses are in 127.0.0.0/8, so it has one more, and then all
    of 10.0.0.0/8 is this machine."""
    set_flags, up_and_running, set_address = 0x8914, 0x41, 0x8916  # linux/sockios.h, linux/if.h
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_address, struct.pack("16sHH4s8x", b"lo", socket.AF_INET, 0, socket.inet_aton(ADDRESS)))
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", up_and_running))


class Cluster:
    """Between start() and the end of the process."""

    def __init__(self, nodes: int):
        self.folder = pathlib.Path(os.environ[INSIDE])
        self.nodes = [f"n{number}" for number in range(nodes)]
        self.local = self.folder / "local"  # what a node sees here, none of the others does
        self.configuration = self.folder / "slurm.conf"
        self.daemons = {}

    def disk(self, node: str) -> pathlib.Path:
        """The same folder as seen from outside."""
        return self.folder / "disks" / node

    def start(self):
        for name in ("munge", "state", "local", "tmp", "work"):
            (self.folder / name).mkdir(mode=0o755)
        tempfile.tempdir = str(self.folder / "work")  # of the tests: all nodes see it
        addresses = {node: f"10.0.0.{10 + number}" for number, node in enumerate(self.nodes)}
        make_network()
        hosts = self.folder / "hosts"
        hosts.write_text(f"{ADDRESS} localhost login\n" + "".join(f"{address} {node}\n" for node, address in addresses.items()))
        mount("--bind", hosts, "/etc/hosts")
        socket.sethostname("login")
        lines = [f"NodeName={node} NodeAddr={address} Port={17000 + number} CPUs={CPUS} RealMemory=1000"
                 for number, (node, address) in enumerate(addresses.items())]
        self.configuration.write_text(CONFIGURATION.format(folder=self.folder, address=ADDRESS) + "\n".join(lines) +
                                      "\nPartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP\n")
        # Open MPI keeps away from the loopback unless told.
        os.environ.update(SLURM_CONF=str(self.configuration), OMPI_MCA_btl_tcp_if_include="lo", OMPI_MCA_oob_tcp_if_include="lo",
                          OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS="1", TZ="UTC")
        atexit.register(self.stop)
        self.start_munge()
        self.spawn("slurmctld", [find("slurmctld"), "-D", "-f", self.configuration])
        for node in self.nodes:
            self.start_node(node)
        self.wait_for_nodes()

    def spawn(self, name: str, command: list):
        with (self.folder / f"{name}.out").open("ab") as output:
            self.daemons[name] = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def start_munge(self):
        folder = self.folder / "munge"
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o400)
        self.spawn("munged", [find("munged"), "--foreground", "--force", f"--key-file={folder}/key", f"--socket={folder}/socket",
                              f"--pid-file={folder}/pid", f"--log-file={folder}/log", f"--seed-file={folder}/seed"])
        self.wait_until(lambda: (folder / "socket").exists(), "munged")

    def start_node(self, node: str):
        if not self.disk(node).exists():
            self.disk(node).mkdir(parents=True)
            mount("-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", self.disk(node))
        shutil.rmtree(self.folder / f"spool.{node}", ignore_errors=True)  # sockets of an earlier life
        self.spawn(node, [*OWN, sys.executable, __file__, "--node", node])

    def kill_node(self, node: str):
        """As if its plug were pulled: every process of the node at once."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()

    def stop(self):
        for name in list(self.daemons):
            self.kill_node(name)

    def wait_for_nodes(self):
        def ready():
            told = subprocess.run(["sinfo", "-h", "-N", "-o", "%N %T"], capture_output=True, text=True).stdout.split()
            return told[1::2] == ["idle"] * len(self.nodes)
        self.wait_until(ready, "the nodes")

    def wait_until(self, condition, what: str, patience: float = 60):
        deadline = time.monotonic() + patience
        while not condition():
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise RuntimeError(f"no {what} after {patience} s; ended: {dead}\n{self.logs()}")
            time.sleep(0.1)

    def logs(self) -> str:
        """The ends of all daemons' logs: of use where a test fails."""
        files = sorted(path for path in self.folder.glob("*") if path.suffix in (".log", ".out"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in files)


def be_node(name: str):
    """The first process of a node's namespaces."""
    folder = pathlib.Path(os.environ[INSIDE])
    socket.sethostname(name)
    for place in ("/dev/shm", folder / "tmp"):
        mount("-t", "tmpfs", "tmpfs", place)
    mount("--bind", folder / "disks" / name, folder / "local")
    slurmd = subprocess.Popen([find("slurmd"), "-D", "-f", os.environ["SLURM_CONF"], "-N", name])
    sys.exit(wait_like_init(slurmd.pid) & 0xFF)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--node"]:
        be_node(sys.argv[2])
    if sys.argv[1:] == ["--why-not"]:
        print(obstacle())
        sys.exit()
    enter_or_skip()
    cluster = Cluster(2)
    cluster.start()
    sys.exit(subprocess.run(sys.argv[1:] or ["sinfo"]).returncode)
