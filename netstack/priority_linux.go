package netstack

import "golang.org/x/sys/unix"

// readerNice is the niceness of a receive loop's thread. The kernel forwards in
// its softirq, before every process; a loop at the default niceness is preempted
// by the very program that its packet wakes, once a packet.
const readerNice = -10

// preferred gives the calling thread, and no other, that niceness. It reports
// whether it may: root may, and who has CAP_SYS_NICE or the limit for it.
func preferred() bool {
	return unix.Setpriority(unix.PRIO_PROCESS, 0, readerNice) == nil
}
