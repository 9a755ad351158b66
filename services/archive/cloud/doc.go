// Package cloud is what the archive needs for buckets of S3, of whatever speaks
// its language, and of Google Cloud. A program that imports it links their libraries.
//
// In: s3:// and gs://, and the environment that these libraries read. Out: places.
//
// It is empty under the race detector: to build those libraries for it takes longer
// than all of Leat.
package cloud
