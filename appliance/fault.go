package appliance

import (
	"fmt"
	"runtime"
	"strings"
)

// Panicked is the one line that is said about a recovered panic: what it was
// and where it came from, the first caller in weir's own code. It is for the
// deferred function that recovered.
func Panicked(fault any) string {
	what := strings.Join(strings.Fields(fmt.Sprint(fault)), " ")
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs[:])])
	for panicking := false; ; {
		f, more := frames.Next()
		if panicking && (strings.HasPrefix(f.Function, "weir/") || strings.HasPrefix(f.Function, "main.")) {
			return fmt.Sprintf("a fault in weir itself: %s (%s:%d): please report this line", what, f.Function, f.Line)
		}
		panicking = panicking || f.Function == "runtime.gopanic"
		if !more {
			return fmt.Sprintf("a fault in weir itself: %s: please report this line", what)
		}
	}
}
