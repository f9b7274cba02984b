package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
)

// Client asks a running weir.
type Client struct {
	path string
	http *http.Client
}

// NewClient makes the client of the socket at path; nothing is opened yet.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Version asks who answers.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	return v, c.get(ctx, "version", &v)
}

// Services lists the virtual services, in file order, with their real servers.
func (c *Client) Services(ctx context.Context) (s []Service, err error) {
	return s, c.get(ctx, "services", &s)
}

// Reals lists the real servers of all services, in file order.
func (c *Client) Reals(ctx context.Context) (r []Real, err error) {
	return r, c.get(ctx, "reals", &r)
}

// Neighbours lists the neighbour table.
func (c *Client) Neighbours(ctx context.Context) (n []Neighbour, err error) {
	return n, c.get(ctx, "neighbours", &n)
}

// Counters returns all counters.
func (c *Client) Counters(ctx context.Context) (n Counters, err error) {
	return n, c.get(ctx, "counters", &n)
}

// Pending says what would change if weir read its file now.
func (c *Client) Pending(ctx context.Context) (p Plan, err error) {
	return p, c.get(ctx, "plan", &p)
}

// Flows calls yield for each flow, limit at most (0: all), until yield returns
// false. live is how many there are.
func (c *Client) Flows(ctx context.Context, limit int, yield func(Flow) bool) (live int64, err error) {
	body, err := c.do(ctx, http.MethodGet, "flows?limit="+strconv.Itoa(limit), nil)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	for lines := json.NewDecoder(body); ; {
		var line flowLine
		if err := lines.Decode(&line); err != nil {
			return 0, c.failed(fmt.Errorf("the list of flows was cut off: %w", err))
		}
		if line.End != nil {
			return line.End.Live, nil
		}
		if line.Flow != nil && !yield(*line.Flow) {
			return 0, nil
		}
	}
}

// Explain asks what would become of a packet in text form.
func (c *Client) Explain(ctx context.Context, packet string) (e Explanation, err error) {
	body, err := json.Marshal(question{packet})
	if err != nil {
		return e, err
	}
	return e, c.post(ctx, "explain", body, &e)
}

// Plan asks what would change with the configuration in text. The error may be
// Faults, with name as the file's name.
func (c *Client) Plan(ctx context.Context, name string, text []byte) (p Plan, err error) {
	return p, c.post(ctx, "plan?name="+url.QueryEscape(name), text, &p)
}

// Apply makes the configuration in text the one in force, or changes nothing.
func (c *Client) Apply(ctx context.Context, name string, text []byte) (p Plan, err error) {
	return p, c.post(ctx, "apply?name="+url.QueryEscape(name), text, &p)
}

func (c *Client) get(ctx context.Context, what string, answer any) error {
	return c.ask(ctx, http.MethodGet, what, nil, answer)
}

func (c *Client) post(ctx context.Context, what string, body []byte, answer any) error {
	return c.ask(ctx, http.MethodPost, what, body, answer)
}

func (c *Client) ask(ctx context.Context, method, what string, send []byte, answer any) error {
	body, err := c.do(ctx, method, what, send)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(answer); err != nil {
		return c.failed(fmt.Errorf("read the answer to %s: %w", what, err))
	}
	return nil
}

// do sends a request; an answer that is an error becomes one.
func (c *Client) do(ctx context.Context, method, what string, send []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://weir/v1/"+what, bytes.NewReader(send))
	if err != nil {
		return nil, c.failed(err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.failed(explain(err))
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	var t trouble
	if err := json.NewDecoder(io.LimitReader(res.Body, MaxApply)).Decode(&t); err != nil || t.Error == "" {
		return nil, c.failed(fmt.Errorf("%s: weir answers %s: is it of another version?", what, res.Status))
	}
	if t.Faults != nil {
		return nil, t.Faults
	}
	return nil, errors.New(t.Error)
}

func (c *Client) failed(err error) error { return fmt.Errorf("control socket %s: %w", c.path, err) }

// explain says what it means that nobody could be asked.
func explain(err error) error {
	if e := new(url.Error); errors.As(err, &e) {
		err = e.Err // without the made-up address
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return errors.New("no permission: be the user that weir runs as, or name another socket with --socket")
	case errors.Is(err, fs.ErrNotExist), refused(err):
		return errors.New("nobody listens there: start weir, or name its socket with --socket")
	}
	return err
}
