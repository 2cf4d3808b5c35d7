"""What the AWS Lambda function answers, tried on this machine.

PAIRLIFT_BUNDLE=out/bundle python examples/lambda_event.py

`pairlift lambda build BUNDLE score.zip --template template.yaml` makes the zip that AWS runs (docs/serverless.md).
"""

import json

from pairlift.aws import handler

event = {"pairs": [["there are two dogs", "two dogs run"], ["a man sleeps", None]]}
print(json.dumps(handler(event), indent=2))
