package console

import (
	"context"
	"math"
	"strings"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/healthapi"
)

// healthList shows what is not well and every reading; a reading opens its
// graph.
func (m *model) healthList() *list {
	T := m.c.T
	return &list{title: T("Health"), load: func(ctx context.Context) ([]item, error) {
		s, err := m.health.Status(ctx)
		if err != nil {
			return nil, err
		}
		var items []item
		for _, st := range s.States {
			mark, detail := "! ", ""
			if st.Known {
				mark, detail = "  ", T("known")
			}
			items = append(items, item{mark + m.c.Report(st.What), detail, func() tea.Cmd { return m.open(m.healthState(st)) }})
		}
		if len(s.States) == 0 {
			items = append(items, item{label: T("All is in order.")})
		}
		if w := s.Watchdog; w.Device != "" {
			items = append(items, item{label: T("Watchdog"), detail: w.Identity})
		}
		for _, r := range s.Readings {
			items = append(items, item{m.c.Report(r.Name), r.Text(), func() tea.Cmd { return m.openText(m.graph(r)) }})
		}
		return items, nil
	}}
}

// healthState shows one state, and takes it that somebody knows of it.
func (m *model) healthState(st healthapi.State) *list {
	T := m.c.T
	parts := []string{m.c.Report(st.What)}
	if st.Means != "" {
		parts = append(parts, T("What it means: %s", m.c.Report(st.Means)))
	}
	if st.Do != "" {
		parts = append(parts, T("What to do: %s", m.c.Report(st.Do)))
	}
	parts = append(parts, T("since %s", st.Since.In(m.zone).Format(minute)))
	label := T("I know: show all well until it gets worse")
	if st.Known {
		label = T("I want to be shown it again")
	}
	return &list{title: T("Health"), intro: strings.Join(parts, "\n"), items: []item{
		{T("Back"), "", func() tea.Cmd { m.pop(1); return nil }},
		{label, "", func() tea.Cmd {
			return m.ask(func(ctx context.Context) then {
				err := m.health.SetKnown(ctx, healthapi.Known{ID: st.ID, Known: !st.Known})
				return func() tea.Cmd {
					if err != nil {
						m.failed(err)
						return nil
					}
					return m.back("")()
				}
			})
		}},
	}}
}

const (
	graphWidth  = 66
	graphHeight = 12
)

// graph draws a reading's last day, month and year.
func (m *model) graph(r healthapi.Reading) *text {
	T := m.c.T
	return &text{title: m.c.Report(r.Name), behind: true, load: func(ctx context.Context) ([]string, error) {
		lines := []string{r.Text(), ""}
		for _, span := range []struct{ name, title string }{{healthapi.SpanDay, T("The last day")}, {healthapi.SpanMonth, T("The last month")}, {healthapi.SpanYear, T("The last year")}} {
			points, err := m.health.History(ctx, r.ID, span.name)
			if err != nil {
				return nil, err
			}
			lines = append(lines, span.title)
			lines = append(append(lines, plot(r.Kind, points)...), "")
		}
		return lines, nil
	}}
}

// plot draws the means of points as columns, in ASCII: the oldest at the left.
func plot(kind string, points []healthapi.Point) []string {
	if len(points) == 0 {
		return []string{"-"}
	}
	low, high := math.Inf(1), math.Inf(-1)
	columns := make([]float64, min(graphWidth, len(points)))
	for i := range columns {
		part := points[i*len(points)/len(columns) : (i+1)*len(points)/len(columns)]
		sum := 0.0
		for _, p := range part {
			sum += p.Mean
			low, high = min(low, p.Min), max(high, p.Max)
		}
		columns[i] = sum / float64(len(part))
	}
	if high-low < 1e-9 {
		low, high = low-1, high+1
	}
	lines := make([]string, graphHeight)
	for row := range lines {
		from := low + (high-low)*float64(graphHeight-1-row)/graphHeight
		var b strings.Builder
		for _, c := range columns {
			if c > from {
				b.WriteByte('#')
			} else {
				b.WriteByte(' ')
			}
		}
		lines[row] = strings.TrimRight(b.String(), " ")
	}
	lines[0] = fit(lines[0], graphWidth) + " " + healthapi.Format(kind, high)
	lines[graphHeight-1] = fit(lines[graphHeight-1], graphWidth) + " " + healthapi.Format(kind, low)
	return lines
}
