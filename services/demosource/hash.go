package demosource

// mix turns a number into another that looks random (splitmix64). Everything
// the platform makes up comes from it, so that nothing need be remembered.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// mixString is mix for names.
func mixString(seed uint64, text string) uint64 {
	for i := range len(text) {
		seed = mix(seed ^ uint64(text[i]))
	}
	return mix(seed)
}

// below maps a hash to 0..n-1.
func below(hash uint64, n int64) int64 {
	return int64((hash >> 32) * uint64(n) >> 32)
}

// pick chooses one of the choices.
func pick(hash uint64, choices []string) string {
	return choices[below(hash, int64(len(choices)))]
}
