"""What a run leaves for people: the HTML report, the model card and the table in the terminal.

`facts` reads what the stages wrote; the others only write it out. All start from the document
that `retune run --json` prints:

    {"recipe": "support-chat", "model": "support-summarizer", "version": "3", "run_id": "5d41...",
     "validation": {...}, "test": {"base": {"rougeL": {"value": 0.05, ...}}, "tuned": {...}},
     "forgetting": {"sentiment": {"before": 0.81, ...}}, "decision": {"promote": true, ...}}
"""
