"""Your own KerasHub model: build it, save it with its preprocessor, and export it.

python examples/own_model.py VOCABULARY.txt model.keras
pairlift export model.keras bundle --labels entailment,neutral,contradiction --fields hypothesis,premise

VOCABULARY.txt is BERT's: one word piece a line. A real model is trained between the last two steps, or is
`keras_hub.models.BertTextClassifier.from_preset("bert_tiny_en_uncased", num_classes=3)`.
"""

import sys

import keras_hub

vocabulary, path = sys.argv[1:3]
tokenizer = keras_hub.models.BertTokenizer(vocabulary=vocabulary, lowercase=True)
preprocessor = keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=64)
backbone = keras_hub.models.BertBackbone(
    vocabulary_size=tokenizer.vocabulary_size(),
    num_layers=2,
    num_heads=2,
    hidden_dim=64,
    intermediate_dim=128,
    max_sequence_length=64,
)
model = keras_hub.models.BertTextClassifier(backbone, num_classes=3, preprocessor=preprocessor)
model.save(path)
print(f"{path}: saved with its preprocessor; it takes raw text")
