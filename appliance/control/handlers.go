package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// DefaultFlows is how many flows are listed where nobody says how many.
const DefaultFlows = 1000

// handlers answer requests.
type handlers struct {
	source  Source
	version Version
	limits  Limits
	log     *slog.Logger
}

func (h *handlers) routes() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, answer func() (any, error)) {
		mux.HandleFunc("GET /v1/"+path, func(w http.ResponseWriter, r *http.Request) { h.answer(w, answer) })
	}
	get("version", func() (any, error) { return h.version, nil })
	get("snapshot", func() (any, error) { return h.source.Snapshot(), nil })
	get("services", func() (any, error) { return h.source.Snapshot().Services, nil })
	get("reals", func() (any, error) { return Reals(h.source.Snapshot().Services), nil })
	get("neighbours", func() (any, error) { return h.source.Snapshot().Neighbours, nil })
	get("counters", func() (any, error) { return h.source.Snapshot().Counters, nil })
	get("plan", func() (any, error) { return h.source.Pending() })
	mux.HandleFunc("GET /v1/flows", h.flows)
	mux.HandleFunc("POST /v1/explain", h.explain)
	mux.HandleFunc("POST /v1/plan", h.configuration(h.source.Plan))
	mux.HandleFunc("POST /v1/apply", h.configuration(h.source.Apply))
	return h.guard(mux)
}

// Reals are the real servers of all services, in file order.
func Reals(services []Service) []Real {
	all := []Real{}
	for _, s := range services {
		all = append(all, s.Reals...)
	}
	return all
}

// guard keeps a panic in an answer from anybody but its client and the log.
func (h *handlers) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if fault == http.ErrAbortHandler {
				panic(fault) // net/http's own way to break a connection off; it says nothing
			}
			h.log.Error("a request made the control server panic; please report it with this line",
				"request", r.Method+" "+r.URL.Path, "panic", fmt.Sprint(fault))
			h.fail(w, http.StatusInternalServerError, errors.New("weir failed to answer: its log says why"))
		}()
		next.ServeHTTP(w, r)
	})
}

// trouble is the body of an answer that is an error.
type trouble struct {
	Error  string `json:"error"`
	Faults Faults `json:"faults,omitempty"`
}

func (h *handlers) fail(w http.ResponseWriter, status int, err error) {
	t := trouble{Error: err.Error()}
	if errors.As(err, &t.Faults) {
		t.Error = "the configuration has faults"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(t) // a client that has gone wants no answer
}

func (h *handlers) answer(w http.ResponseWriter, ask func() (any, error)) {
	body, err := ask()
	if err != nil {
		h.fail(w, http.StatusUnprocessableEntity, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // as above
}

// flowLine is one line of the list of flows. The last line, and no other, has
// an end: a list without one was cut off.
type flowLine struct {
	*Flow
	End *flowEnd `json:"end,omitempty"`
}

// flowEnd says how much of the whole was listed.
type flowEnd struct {
	Shown int   `json:"shown"`
	Live  int64 `json:"live"`
}

// flows streams the flow table as lines of JSON. A client that stops reading is
// given up after limits.Write, however long the list.
func (h *handlers) flows(w http.ResponseWriter, r *http.Request) {
	limit := DefaultFlows
	if s := r.URL.Query().Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			h.fail(w, http.StatusBadRequest, fmt.Errorf("limit %q: give a number, 0 for no limit", s))
			return
		}
		limit = n
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	rc := http.NewResponseController(w)
	lines := json.NewEncoder(w)
	shown := 0
	var err error
	h.source.Flows(func(f Flow) bool {
		if limit > 0 && shown == limit {
			return false
		}
		if shown%1024 == 0 {
			_ = rc.SetWriteDeadline(time.Now().Add(h.limits.Write)) // sockets have deadlines
		}
		err = lines.Encode(flowLine{Flow: &f})
		shown++
		return err == nil
	})
	if err == nil {
		live := max(h.source.Snapshot().Counters.Flows.Live, int64(shown))
		_ = lines.Encode(flowLine{End: &flowEnd{Shown: shown, Live: live}})
	}
}

// question is the body of a request to explain a packet.
type question struct {
	Packet string `json:"packet"`
}

func (h *handlers) explain(w http.ResponseWriter, r *http.Request) {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPacket))
	body.DisallowUnknownFields()
	var q question
	if err := body.Decode(&q); err != nil {
		h.unreadable(w, err)
		return
	}
	h.answer(w, func() (any, error) { return h.source.Explain(q.Packet) })
}

// configuration answers a request whose body is a configuration file.
func (h *handlers) configuration(do func(name string, text []byte) (Plan, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxApply))
		if err != nil {
			h.unreadable(w, err)
			return
		}
		name := r.URL.Query().Get("name")
		if name == "" {
			name = "configuration"
		}
		h.answer(w, func() (any, error) { return do(name, text) })
	}
}

// unreadable answers a request whose body could not be had.
func (h *handlers) unreadable(w http.ResponseWriter, err error) {
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		h.fail(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the request is larger than %d bytes", large.Limit))
		return
	}
	h.fail(w, http.StatusBadRequest, fmt.Errorf("read the request: %w", err))
}
