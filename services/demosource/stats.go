package demosource

// metric is one column of a report.
type metric struct {
	name    string
	nonzero uint64 // how often it is not zero, of 1024
	least   int64
	most    int64
	cents   bool // written with two decimals
}

// The shares of nonzero add up to 9 of 20, so that 55 % of all values are zero.
var metrics = [...]metric{
	{name: "impressions", nonzero: 1024, least: 100, most: 9_999},
	{name: "clicks", nonzero: 900, least: 1, most: 400},
	{name: "spend", nonzero: 980, least: 5, most: 30_000, cents: true},
	{name: "conversions", nonzero: 400, least: 1, most: 40},
	{name: "revenue", nonzero: 400, least: 100, most: 90_000, cents: true},
	{name: "reach", nonzero: 1000, least: 80, most: 8_000},
	{name: "video_views", nonzero: 600, least: 1, most: 3_000},
	{name: "video_completions", nonzero: 450, least: 1, most: 900},
	{name: "post_likes", nonzero: 550, least: 1, most: 200},
	{name: "post_comments", nonzero: 250, least: 1, most: 30},
	{name: "post_shares", nonzero: 250, least: 1, most: 40},
	{name: "post_saves", nonzero: 200, least: 1, most: 30},
	{name: "page_follows", nonzero: 150, least: 1, most: 20},
	{name: "app_installs", nonzero: 150, least: 1, most: 20},
	{name: "signups", nonzero: 150, least: 1, most: 15},
	{name: "add_to_carts", nonzero: 350, least: 1, most: 80},
	{name: "checkouts", nonzero: 250, least: 1, most: 40},
	{name: "purchases", nonzero: 212, least: 1, most: 30},
	{name: "page_views", nonzero: 800, least: 1, most: 500},
	{name: "bounces", nonzero: 150, least: 1, most: 200},
}

// values are a stat's metrics, in the order of metrics; cents as whole numbers.
type values [len(metrics)]int64

var systems = [...]string{"ios", "android", "web"}

// systems are the one to three operating systems the ad is shown on.
func (one ad) systems() []string {
	first := one.seed >> 8 % 3
	return systems[first : first+1+one.seed>>16%(3-first)]
}

// pair names an ad's day: whether and how it is restated follows from it.
func (one ad) pair(d day) uint64 { return mix(one.seed ^ mix(d.number)) }

// active says whether the ad was shown: on two days of three, more or less.
func active(pair uint64) bool { return below(pair, 1000) < 662 }

// change is how an ad's day differs from what was said of it first.
type change struct {
	progress int64 // of the day, in thousandths
	jitter   int64 // by restatements, in thousandths; +2 to +5 %, then -1 to -3 %, and so on
	void     bool  // all of it was taken back
	revised  int64 // revisions; they only add
}

func (m moment) change(pair uint64, d day) change {
	c := change{progress: d.progress, revised: m.revised(pair, 0)}
	version := m.version(pair, d.endHour)
	if version == 0 {
		return c
	}
	h := mix(pair + uint64(version))
	if version%2 == 1 {
		c.jitter = 20 + below(h, 31)
		return c
	}
	c.jitter = -10 - below(h, 21)
	c.void = h%32 == 0
	return c
}

// fill makes up the metrics of an ad's day on one operating system.
func (c change) fill(v *values, pair uint64, system string) {
	seed := mix(pair ^ uint64(system[0])<<32)
	for i := range metrics {
		seed += 0x9e3779b97f4a7c15
		v[i] = c.value(&metrics[i], mix(seed))
	}
	if c.revised > 0 {
		v[0] += c.revised // so that each revision shows
	}
}

func (c change) value(m *metric, hash uint64) int64 {
	if hash&1023 >= m.nonzero {
		return 0
	}
	base := m.least + below(hash, m.most-m.least+1)
	total := base * c.progress / 1000
	if c.jitter != 0 {
		total += base * c.jitter / 1000
	}
	if c.void {
		total = 0
	}
	return total + c.revised*(base/32)
}
