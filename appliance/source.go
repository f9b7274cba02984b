package appliance

import (
	"errors"

	"weir/appliance/config"
	"weir/appliance/control"
)

// ApplyText is Apply for a file's text. The error may be control.Faults.
func (a *Appliance) ApplyText(name string, text []byte) (control.Plan, error) {
	cfg, err := parse(name, text)
	if err != nil {
		return control.Plan{}, err
	}
	return a.Apply(cfg)
}

// PlanText says what ApplyText would change.
func (a *Appliance) PlanText(name string, text []byte) (control.Plan, error) {
	cfg, err := parse(name, text)
	if err != nil {
		return control.Plan{}, err
	}
	return Plan(a.Config(), cfg), nil
}

// parse reads a configuration, and says its faults in control's words.
func parse(name string, text []byte) (*config.Config, error) {
	cfg, err := config.Parse(name, text)
	if err == nil {
		return cfg, nil
	}
	var faults config.Faults
	if !errors.As(err, &faults) {
		return nil, err
	}
	return nil, Faults(faults)
}

// Faults are a configuration's faults in control's words.
func Faults(faults config.Faults) control.Faults {
	list := make(control.Faults, len(faults))
	for i, f := range faults {
		list[i] = control.Fault(f)
	}
	return list
}

// source is the appliance as its operators ask it.
type source struct{ *Appliance }

var _ control.Source = source{}

// Plan implements control.Source.
func (s source) Plan(name string, text []byte) (control.Plan, error) { return s.PlanText(name, text) }

// Apply implements control.Source.
func (s source) Apply(name string, text []byte) (control.Plan, error) { return s.ApplyText(name, text) }

// Pending implements control.Source.
func (s source) Pending() (control.Plan, error) {
	if s.options.Reread == nil {
		return control.Plan{}, errors.New("this weir was not started from a file: compare one with `weir check FILE --against SOCKET`")
	}
	name, text, err := s.options.Reread()
	if err != nil {
		return control.Plan{}, err
	}
	return s.PlanText(name, text)
}
