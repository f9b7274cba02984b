package appliance

import "weir/netstack"

// SetTap installs a tap on all ports, or removes it with nil; see netstack.Tap.
func (a *Appliance) SetTap(t netstack.Tap) { a.stack.SetTap(t) }
