//! Providers and browsers that nobody here wrote.
