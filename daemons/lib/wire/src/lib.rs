//! Wire formats that strangers speak to Cairn and Cairn to strangers. Bytes in, plain values or a typed error out:
//! no I/O, no clock, no HTTP status.
//!
//! | module | answers |
//! |---|---|
//! | [`decompress`] | what do these snappy, gzip or deflate bytes hold, under a limit |
//! | [`push`] | which streams does this body of `POST /loki/api/v1/push` carry (entry point of the push part) |
//! | [`push_protobuf`] | the protobuf form of a push |
//! | [`push_json`] | the JSON forms of a push, today's and the legacy one |
//! | [`push_labels`] | what does `{a="b", c="d"}` say, and what does Loki say when it is wrong |
//! | [`remote_write`] | which series and samples does this body of `POST /api/v1/write` carry |
//! | [`prompb`] | which messages do Prometheus's remote protocols have |
//! | [`otlp_metrics`] | what does this OTLP push of metrics hold, in protobuf or JSON |
//! | [`protobuf_reader`] | which fields does this protobuf message have, without copying any |
//! | [`push_encode`] | how the shipper writes a push without building it in memory twice |

pub mod decompress;
pub mod exposition;
mod otlp_json;
pub mod otlp_metrics;
pub mod prompb;
pub mod protobuf_reader;
pub mod push;
pub mod push_encode;
pub mod push_json;
pub mod push_labels;
pub mod push_protobuf;
pub mod remote_write;
mod remote_write_histogram;
mod remote_write_v1;
mod remote_write_v2;
