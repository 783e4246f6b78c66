//! Values of one source, as figment merges them.

use std::collections::BTreeMap;

use figment::{
    Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

/// A layer of texts.
pub(super) fn layer(name: &'static str, values: BTreeMap<String, String>) -> Layer {
    Layer { name, values: values.into_iter().map(|(name, text)| (name, Value::from(text))).collect() }
}

/// Values from one source.
pub(super) struct Layer {
    pub(super) name: &'static str,
    pub(super) values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}
