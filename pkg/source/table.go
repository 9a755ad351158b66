package source

// separator returns the file's, or the format's own.
func (t *Table) separator(usual byte) byte {
	if t.Separator == "" {
		return usual
	}
	return t.Separator[0]
}

// form checks how CSV or TSV is written.
func (v *validator) form() {
	const path = "fetch.report.table"
	s := v.Fetch.Report.Table.Separator
	if v.has(path+".separator") && (len(s) != 1 || s == `"` || s == "\n" || s == "\r" || s > "~") {
		v.failf(path+".separator", "found %s; it must be one ASCII character, such as ; or |", found(s))
	}
	if format := v.Fetch.Report.Format; v.has(path) && format != formatCSV && format != formatTSV && v.Fetch.Report.Path != "" {
		v.failf(path, "has no use: the format is %s", format)
	}
}
