#!/bin/sh
# Stands in for ssh when mpirun starts its daemons, so that each takes this machine for a node of its own: a host name, shared
# memory and a local disk (the folder $NODE_DISKS/<name>, seen by the node as $NODE_DISKS/local) that no other node sees.
#   mpirun -mca plm_rsh_agent tests/support/node_agent.sh -host node-a:2,node-b:2 ...
# All of it goes away with the daemon. It takes the right to make namespaces and to mount.
name=$1
shift
export name
exec unshare --uts --ipc --mount --propagation private sh -c '
  hostname "$name" && mount -t tmpfs tmpfs /dev/shm &&
  mkdir -p "$NODE_DISKS/$name" "$NODE_DISKS/local" && mount --bind "$NODE_DISKS/$name" "$NODE_DISKS/local" &&
  exec sh -c "$*"' sh "$@"
