package hostile

import "slices"

// Classes are all 44, in an order that is worth keeping: what must be waited
// for comes first.
func Classes() []*Class {
	var list []*Class
	for _, part := range [][]Class{fragmentClasses, linkClasses, headerClasses, transportClasses, sixClasses, addressClasses, icmpClasses} {
		for i := range part {
			list = append(list, &part[i])
		}
	}
	return list
}

// Find is the class of a name; nil where there is none.
func Find(name string) *Class {
	all := Classes()
	if i := slices.IndexFunc(all, func(c *Class) bool { return c.Name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// simple is a class whose units are one frame with one fate.
func simple(name, says string, f Fate, one func(k *kit) []byte) Class {
	return Class{name, says, []Fate{f}, func(k *kit) { k.ip(f, one(k)) }}
}

// only4 and only6 keep a class to the one family that can be wrong like that.
func only4(c Class) Class { return only(c, 0) }
func only6(c Class) Class { return only(c, 1) }

func only(c Class, family int) Class {
	both := c.make
	c.make = func(k *kit) {
		k.six = family
		both(k)
	}
	return c
}

// either is one of two packets, in turn.
func (k *kit) either(a, b func() []byte) []byte {
	if k.turn(2) == 0 {
		return a()
	}
	return b()
}
