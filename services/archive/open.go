package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// Buckets opens a bucket. It is nil in a program that does not import the package
// cloud, with what the clouds' own libraries weigh.
var Buckets func(ctx context.Context, url string) (Place, error)

// parameters are what the addresses of buckets may say besides. Who asks is for
// the environment to say.
var parameters = map[string][]string{
	"s3": {"region", "endpoint", "use_path_style", "disable_https", "profile", "ssetype", "kmskeyid", "prefix"},
	"gs": {"prefix"},
}

// Open opens the archive at an address: a folder, or what Check allows.
func Open(ctx context.Context, address string) (*Archive, error) {
	folder, err := Check(address)
	switch {
	case err != nil:
		return nil, err
	case folder != "":
		return New(Folder(folder)), nil
	case Buckets == nil:
		return nil, fmt.Errorf("archive: found %q, but this program does not know buckets", address)
	}
	place, err := Buckets(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return New(place), nil
}

// Check says what is wrong with an archive's address. It returns the folder, and
// nothing for a bucket.
func Check(address string) (folder string, err error) {
	if address == "" {
		return "", errors.New("archive: missing; it is a folder, file:///path, s3://bucket or gs://bucket")
	}
	if !strings.Contains(address, "://") {
		return address, nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("archive: what was found is not an address") // the reason may quote a password
	}
	allowed := parameters[u.Scheme]
	switch {
	case u.User != nil:
		return "", errors.New("archive: a user stands in the address; the environment says who asks (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, …)")
	case u.Scheme == "file" && u.Host == "" && filepath.IsAbs(u.Path) && u.RawQuery == "":
		return u.Path, nil
	case allowed == nil:
		return "", fmt.Errorf("archive: found %q; a folder, file:///path, s3://bucket or gs://bucket is allowed", address)
	case u.Host == "" || strings.Trim(u.Path, "/") != "":
		return "", fmt.Errorf("archive: found %q; after %s:// stands the name of a bucket, and what its names begin with in ?prefix=", address, u.Scheme)
	}
	for _, name := range slices.Sorted(maps.Keys(u.Query())) {
		if !slices.Contains(allowed, name) {
			return "", fmt.Errorf("archive: found the parameter %q; of %s:// there are %s", name, u.Scheme, strings.Join(allowed, ", "))
		}
	}
	return "", nil
}
