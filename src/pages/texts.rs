//! The texts of our pages, a file for each language. That none is missing is the compiler's to see.

pub(super) mod english;
pub(super) mod english_admin;
pub(super) mod german;
pub(super) mod german_admin;
