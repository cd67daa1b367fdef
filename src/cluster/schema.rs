//! JSON Schema of `cluster.toml` (draft 2020-12), derived from the raw types; for editors, and for [`super::shape`].

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::raw::RawCluster;

/// The schema: no references, so that readers need not follow any.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(WithoutNull);
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<RawCluster>();
    schema.insert("title".into(), json!("cluster.toml"));
    schema.into()
}

/// TOML has no null: what is optional is left out. Takes `null` out of types.
#[derive(Debug, Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        if let Some(Value::Array(kinds)) = object.get_mut("type") {
            kinds.retain(|kind| kind != "null");
            if let [kind] = kinds.as_slice() {
                let kind = kind.clone();
                object.insert("type".into(), kind);
            }
        }
        object.remove("default");
        object.remove("format");
    }
}
