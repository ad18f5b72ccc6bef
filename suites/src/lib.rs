//! Tests and examples of errgroup that need more than a small executor: tokio, async-std, axum,
//! subscribers of tracing. They have a package of their own so that an example of errgroup's
//! builds without all that. There is nothing in this library.
