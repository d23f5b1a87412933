"""Belief or action: does a direction make a model hold that it is wrong, or only write "Wait"?"""
