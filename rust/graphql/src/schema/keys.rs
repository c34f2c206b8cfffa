//! The keys of fields in values.

use std::sync::Arc;

use apollo_compiler::Schema as CompiledSchema;
use apollo_compiler::schema::ExtendedType;
use hashbrown::HashMap;

use super::options::SchemaOptions;
use crate::value::Key;

/// Keys of fields, by type and field.
pub(super) type FieldKeys = HashMap<Arc<str>, HashMap<Arc<str>, Arc<[Key]>>>;

pub(super) fn field_keys(
    schema: &CompiledSchema,
    options: &SchemaOptions,
) -> (Vec<Arc<str>>, FieldKeys) {
    let mut interner = Interner::default();
    let mut field_keys = FieldKeys::new();
    for (type_name, definition) in &schema.types {
        let ExtendedType::Object(object) = definition else {
            continue;
        };
        if definition.is_built_in() {
            continue;
        }
        let mut fields = HashMap::new();
        for field in object.fields.keys() {
            let of = |known: &std::collections::HashMap<(String, String), String>| {
                let interfaces = object.implements_interfaces.iter();
                let owners = interfaces.map(|interface| interface.name.as_str());
                std::iter::once(&**type_name)
                    .chain(owners)
                    .find_map(|owner| known.get(&(owner.to_owned(), field.to_string())))
                    .cloned()
            };
            let names = match of(&options.sources) {
                Some(source) => vec![source],
                None => of(&options.attributes)
                    .into_iter()
                    .chain(names_of(field))
                    .collect(),
            };
            let keys = names.iter().map(|name| interner.key(name)).collect();
            fields.insert(field.as_str().into(), keys);
        }
        field_keys.insert(type_name.as_str().into(), fields);
    }
    (interner.keys, field_keys)
}

/// Returns the keys of a field without a source key: its name, then its `snake_case` form.
pub(crate) fn names_of(field: &str) -> Vec<String> {
    let mut snake = String::with_capacity(field.len() + 4);
    let mut previous_is_upper = true;
    for (at, c) in field.char_indices() {
        let next_is_lower = field[at + 1..]
            .chars()
            .next()
            .is_some_and(|c| c.is_ascii_lowercase());
        if c.is_ascii_uppercase() {
            if at > 0 && !snake.ends_with('_') && (!previous_is_upper || next_is_lower) {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
        } else {
            snake.push(c);
        }
        previous_is_upper = c.is_ascii_uppercase();
    }
    if snake == field {
        vec![snake]
    } else {
        vec![field.to_owned(), snake]
    }
}

#[derive(Default)]
struct Interner {
    keys: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, usize>,
}

impl Interner {
    fn key(&mut self, name: &str) -> Key {
        if let Some((name, id)) = self.ids.get_key_value(name) {
            return Key {
                id: *id,
                name: name.clone(),
            };
        }
        let name = Arc::<str>::from(name);
        let id = self.keys.len();
        self.keys.push(name.clone());
        self.ids.insert(name.clone(), id);
        Key { id, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case_splits_words_and_keeps_acronyms_together() {
        assert_eq!(names_of("totalAmount"), ["totalAmount", "total_amount"]);
        assert_eq!(names_of("orderID"), ["orderID", "order_id"]);
        assert_eq!(names_of("HTTPStatus"), ["HTTPStatus", "http_status"]);
        assert_eq!(names_of("line2Text"), ["line2Text", "line2_text"]);
        for same in ["id", "total_amount", "_private", "a1"] {
            assert_eq!(names_of(same), [same]);
        }
    }
}
