//! From and to trees of values.

use serde_json::Value;

use crate::index::IndexedJson;
use crate::write::Writer;

impl From<&Value> for IndexedJson {
    fn from(value: &Value) -> Self {
        let mut writer = Writer::default();
        writer.value(value);
        writer.finish()
    }
}

impl From<Value> for IndexedJson {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl PartialEq<Value> for IndexedJson {
    fn eq(&self, other: &Value) -> bool {
        self.root().to_value() == *other
    }
}

pub(crate) fn write(value: &Value, writer: &mut Writer) {
    match value {
        Value::Null => writer.null(),
        Value::Bool(value) => writer.bool(*value),
        Value::Number(number) => {
            if let Some(value) = number.as_i64() {
                writer.integer(value);
            } else if let Some(value) = number.as_u64() {
                writer.integer(value);
            } else {
                writer.float(number.as_f64().unwrap_or_default());
            }
        }
        Value::String(text) => writer.string(text),
        Value::Array(items) => {
            writer.begin_list();
            for item in items {
                write(item, writer);
            }
            writer.end_list();
        }
        Value::Object(members) => {
            writer.begin_object();
            for (name, value) in members {
                writer.name(name);
                write(value, writer);
            }
            writer.end_object();
        }
    }
}
