//! Formats on disk: each reader beside its writer, one folder or file a format. They know nothing of clusters.

pub mod fat;
