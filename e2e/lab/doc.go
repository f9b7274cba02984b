// Package lab builds small networks for weir to stand in: a Topology says once
// who is there and how they are joined, and two builders make a World of it.
//
// NewSim builds it inside this process out of netstack/simnet: any system, no
// privileges. NewKernel builds it out of Linux network namespaces, veth pairs
// and bridges, so that the stations are the kernel's own TCP/IP and can run
// real programs; it needs no root where the machine allows user namespaces
// (see Enter).
//
// A scenario is written against World and runs in both. Tests get both worlds,
// with skips and leak checks, from the folder labtest.
package lab
